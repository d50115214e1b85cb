/** The chaos run itself: it holds over a few rounds, it finds what is wrong, and nothing of it is left behind. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Abilities, FAULTS, findAbilities, type Rig, type RoundResult, runChaos } from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { startTributary } from './harness/run-tributary.ts'

const newFolder = () => mkdtemp(join(tmpdir(), 'tributary-chaos-test-'))

async function abilitiesHere(): Promise<Abilities> {
  const folder = await newFolder()
  const abilities = await findAbilities(folder, () => undefined)
  await rm(folder, { recursive: true })
  return abilities
}

async function run(options: {
  rounds: number
  seed: number
  kinds: readonly string[]
  beforeCheck?: (rig: Rig, round: number) => Promise<void>
}) {
  const folder = await newFolder()
  const { kinds, ...rest } = options
  const said: string[] = []
  const seen: RoundResult[] = []
  const report = await runChaos({
    ...rest,
    folder,
    faults: FAULTS.filter(({ kind }) => kinds.includes(kind)),
    abilities: await abilitiesHere(),
    say: (text) => said.push(text),
    onRound: (result) => seen.push(result),
    signal: AbortSignal.timeout(240_000),
  })
  return { folder, report, said, seen }
}

/** Command lines of processes, mount points and namespaces that bear the name of this run. */
async function leftOvers(folder: string, pid: number): Promise<string[]> {
  const found: string[] = []
  for (const process of await readdir('/proc')) {
    const line = /^\d+$/.test(process) ? await readFile(`/proc/${process}/cmdline`, 'utf8').catch(() => '') : ''
    if (line.includes(folder) && !line.includes('chaos\0')) found.push(line.replaceAll('\0', ' '))
  }
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').filter((line) => line.includes(folder))
  const namespaces = (await readdir('/run/netns').catch(() => [])).filter((name) => name.endsWith(`-${pid}`))
  return [...found, ...mounts, ...namespaces]
}

describe('chaos', () => {
  test('four rounds: a kill, a wiped NATS, a garbled line, repeated batches', { timeout: 300_000 }, async () => {
    const kinds = ['kill', 'wipe-nats', 'serial-garbled', 'repeat']
    const { folder, report, seen } = await run({ rounds: 4, seed: 11, kinds })
    expect(report.mistakes, `seed 11, kept in ${folder}`).toEqual([])
    expect(report.table).toEqual(
      kinds
        .map((fault) => ({
          fault,
          times: 1,
          worstRecoverySeconds: expect.any(Number),
          missing: 0,
          duplicates: 0,
        }))
        .sort((a, b) => orderOf(a.fault) - orderOf(b.fault)),
    )
    expect(seen).toEqual(report.rounds)
    expect(report.rounds.every(({ readings }) => readings > 2_000)).toBe(true)
    expect(report.whole).toMatchObject({ missing: 0, duplicates: 0, wrong: 0, shed: 0, lostAtDevice: 0 })
    expect(report.whole?.deadLettered).toBeGreaterThan(0)
    expect(report.whole?.produced).toBe((report.whole?.stored ?? 0) + (report.whole?.deadLettered ?? 0))
    // Whole windows, each with some twenty to fifty fields: three of 10 s of each device.
    expect(report.whole?.windowsChecked).toBeGreaterThanOrEqual(30)
    expect(await leftOvers(folder, process.pid)).toEqual([])
    await rm(folder, { recursive: true })
  })

  test('a point that is deleted, changed or doubled behind its back, and a wrong window, are found and named', {
    timeout: 240_000,
  }, async () => {
    const { folder, report } = await run({
      rounds: 3,
      seed: 12,
      kinds: ['serial-unplugged'],
      beforeCheck: async (rig, round) => {
        if (round === 2) await spoil(rig)
      },
    })
    const said = report.mistakes.join('\n')
    expect(report.rounds).toHaveLength(2)
    expect(report.rounds[0]).toMatchObject({ missing: 0, duplicates: 0, mistakes: [] })
    // a sample of five fields gone, one value changed; one sample of two fields stored again under another time
    expect(report.rounds[1]).toMatchObject({ missing: 6, duplicates: 2 })
    expect(said).toMatch(/tank-1 state, sequence \d+, measured at .*: missing/)
    expect(said).toMatch(/tank-1 volume_litres, sequence \d+: stored -1, measured/)
    expect(said).toMatch(/tank-1 (level_percent|sequence) at .*: sequence \d+ is stored twice/)
    expect(said).toMatch(/climate_10s thermometer-1 at .*: temperature_c_count 999 instead of \d+/)
    expect(report.whole).toBeNull()
    await rm(folder, { recursive: true })
  })

  test('Ctrl-C: the table so far, exit code 130, and nothing is left', { timeout: 180_000 }, async () => {
    const folder = await newFolder()
    const running = startTributary([
      ...['chaos', '--rounds', '50', '--seed', '4', '--faults', 'serial-garbled,disk-full,link-down'],
      ...['--data-dir', folder],
    ])
    await running.says(/round 2: .*…/, 120_000)
    expect((await leftOvers(folder, running.pid)).length).toBeGreaterThan(0)
    running.signal('SIGINT')
    const { code, stdout } = await running.finished
    expect(code, stdout).toBe(130)
    expect(stdout).toMatch(/seed 4, 1 of 50 rounds/)
    expect(stdout).toMatch(/Interrupted/)
    expect(await leftOvers(folder, running.pid)).toEqual([])
    await rm(folder, { recursive: true })
  })

  test('--list names every kind; an unknown one is refused with those that there are', async () => {
    const listed = await startTributary(['chaos', '--list']).finished
    expect(listed.code).toBe(0)
    for (const { kind } of FAULTS) expect(listed.stdout).toMatch(new RegExp(`^${kind} `, 'm'))
    const refused = await startTributary(['chaos', '--faults', 'kill,earthquake']).finished
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/there is no earthquake; there are kill, /)
  })
})

const orderOf = (kind: string) => FAULTS.findIndex((fault) => fault.kind === kind)

/** Takes one sample away, changes one value, stores one sample again, and writes a window that its readings do not give. */
async function spoil({ pipeline }: Rig): Promise<void> {
  const newest = async (kind: string, device: string) => {
    const [series] = await pipeline.query(
      `SELECT * FROM "${kind}" WHERE "device" = '${device}' AND time < now() - 8s ORDER BY time DESC LIMIT 3`,
    )
    return (series?.values ?? []).map((row) =>
      Object.fromEntries((series?.columns ?? []).map((name, i): [string, unknown] => [name, row[i]])),
    )
  }
  const write = async (line: string, policy = 'autogen') => {
    const response = await fetch(`${pipeline.influx.url}/write?db=tributary&rp=${policy}&precision=ms`, {
      method: 'POST',
      body: line,
    })
    expect(response.status).toBe(204)
  }
  const [gone, changed, doubled] = await newest('tank', 'tank-1')
  const tags = `tank,site=${gone?.['site']},device=tank-1`
  await pipeline.query(`DELETE FROM "tank" WHERE "device" = 'tank-1' AND time = ${gone?.['time']}ms`)
  await write(`${tags} volume_litres=-1 ${changed?.['time']}`)
  await write(
    `${tags} level_percent=${doubled?.['level_percent']},sequence=${doubled?.['sequence']}i ${Number(doubled?.['time']) + 1}`,
  )
  const [window] = (
    await pipeline.query(
      `SELECT * FROM "rollup"."climate_10s" WHERE "device" = 'thermometer-1' AND time < now() - 25s ORDER BY time DESC LIMIT 1`,
    )
  )[0]?.values ?? [[]]
  await write(
    `climate_10s,site=${gone?.['site']},device=thermometer-1 temperature_c_count=999i ${window?.[0]}`,
    'rollup',
  )
}
