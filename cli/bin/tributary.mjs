#!/usr/bin/env node
// Runs the command from its sources; the shipped bundle needs no such step.
import { register } from 'tsx/esm/api'

register()
await import('../src/main.ts')
