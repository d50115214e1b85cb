/** Texts of one's own: placeholders, and nothing that could be run. A wrong one is found when the config is read. */
import { z } from 'zod'
import type { Facts } from './facts.ts'

const PLACEHOLDER = /\{\{\s*(\w+)\s*\}\}/g
const NAMES: Readonly<Record<keyof Facts, true>> = {
  device: true,
  site: true,
  name: true,
  line: true,
  location: true,
  place: true,
  kind: true,
  field: true,
  label: true,
  detector: true,
  rule: true,
  severity: true,
  state: true,
  reason: true,
  message: true,
  value: true,
  unit: true,
  expected: true,
  lower: true,
  upper: true,
  since: true,
  at: true,
  duration: true,
  episode: true,
  link: true,
}
const isPlaceholder = (name: string): name is keyof Facts => Object.hasOwn(NAMES, name)

export const PLACEHOLDERS = Object.keys(NAMES)

/** @returns what is wrong with it, for whoever wrote it */
export function templateMistake(text: string): string | undefined {
  for (const [, name = ''] of text.matchAll(PLACEHOLDER))
    if (!isPlaceholder(name)) return `{{${name}}} is not known; there are ${PLACEHOLDERS.join(', ')}`
  const rest = text.replace(PLACEHOLDER, '')
  if (/\{\{|\}\}/.test(rest)) return 'a placeholder is a name between {{ and }}, such as {{device}}'
  return undefined
}

/** @param say puts a fact into words where it stands: '' is one that is not known */
export const renderTemplate = (text: string, facts: Facts, say: (fact: string) => string = sayPlain): string =>
  text.replace(PLACEHOLDER, (_, name: keyof Facts) => say(facts[name]))

export const sayPlain = (fact: string): string => (fact === '' ? '–' : fact)

/** A template in a config. */
export const template = (charactersMax: number) =>
  z
    .string('must be a text, in quotes when it begins with "{"')
    .min(1, 'must not be empty')
    .max(charactersMax, `must be at most ${charactersMax} characters`)
    .superRefine((text, { addIssue }) => {
      const message = templateMistake(text)
      if (message !== undefined) addIssue({ code: 'custom', message })
    })
