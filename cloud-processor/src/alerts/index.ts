export * from './engine.ts'
export type { AlertTransition, Episode } from './episode.ts'
export {
  type AlertRule,
  contractRule,
  type RuleMatch,
  type RulesFile,
  rulesSchema,
  rulesSchemaFor,
  SEVERITIES,
  type Severity,
} from './rule.ts'
