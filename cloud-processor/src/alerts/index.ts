export * from './engine.ts'
export type { AlertPlace, AlertTransition, Episode } from './episode.ts'
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
