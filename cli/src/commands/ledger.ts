/** `tributary ledger`: the account. produced = stored + dead-lettered + shed + in flight (+ missing, which must be 0). */
import { Command } from 'commander'
import { askAdmin } from '../admin-client.ts'
import { print, printJson, table } from '../print.ts'

interface Row {
  produced: number
  stored: number
  deadLettered: number
  shed: number
  inFlight: number
  missing: number
}
interface Account {
  agents: (Row & { site: string; agent: string; gaps: { epoch: string; fromSequence: number; toSequence: number }[] })[]
  total: Row
}

export function ledgerCommand(): Command {
  return new Command('ledger')
    .description('print the account of every agent: produced = stored + dead-lettered + shed + in flight + missing')
    .option('--processor <url>', 'admin address of the processor', 'http://127.0.0.1:9603')
    .option(
      '--json',
      'print {agents: [{site, agent, produced, stored, deadLettered, shed, inFlight, missing, gaps}], total}',
    )
    .addHelpText('after', '\nExit code 1 when readings are missing.')
    .action(async (options: { processor: string; json?: boolean }) => {
      const account = await askAdmin<Account>(options.processor, '/account', '--processor')
      if (options.json) printJson(account)
      else {
        const cells = (row: Row) => [row.produced, row.stored, row.deadLettered, row.shed, row.inFlight, row.missing]
        print(
          table(
            ['site', 'agent', 'produced', 'stored', 'dead-lettered', 'shed', 'in flight', 'missing'],
            [...account.agents.map((a) => [a.site, a.agent, ...cells(a)]), ['', 'total', ...cells(account.total)]],
          ),
        )
        for (const { agent, gaps } of account.agents)
          for (const gap of gaps)
            print(
              `gap: ${agent}, epoch ${gap.epoch}, sequences ${gap.fromSequence} to ${gap.toSequence} have not arrived`,
            )
      }
      if (account.total.missing > 0) process.exitCode = 1
    })
}
