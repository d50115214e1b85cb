#!/usr/bin/env node
import { runProgram } from '@tributary/runtime'
import { checkGateway, runGateway } from './run.ts'

process.exitCode = await runProgram({
  name: 'tributary-gateway',
  purpose: 'takes batches from agents over MQTT, keeps them on disk, forwards them to JetStream',
  notes: 'SIGHUP reads credentials_file and the TLS certificate again. SIGINT and SIGTERM stop in order.\n',
  check: checkGateway,
  run: runGateway,
})
