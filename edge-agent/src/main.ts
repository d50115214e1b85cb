/** The agent as a program of its own. */
import { loadConfig, runProgram } from '@tributary/runtime'
import { runAgent } from './agent.ts'
import { agentConfigSchema } from './config.ts'

runProgram({
  name: 'tributary-agent',
  purpose: 'from serial ports and MQTT to the gateway, through a spool',
  notes: 'An example config lies in agent.example.yaml.\n',
  check: async (configPath) => {
    await loadConfig(configPath, agentConfigSchema)
    return `${configPath}: no mistakes`
  },
  run: runAgent,
}).then((exitCode) => {
  process.exitCode = exitCode
})
