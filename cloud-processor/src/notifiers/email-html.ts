/** A mail that reads well without styles, pictures or anything that is fetched. */
import { escapeHtml } from './escape.ts'
import { detailsOf, type Facts } from './facts.ts'
import { headword } from './wording.ts'

const COLOURS = { info: '#1f60c4', warning: '#b35c00', critical: '#c4162a', resolved: '#1a7f4b' } as const

/** @param ownText instead of message and details */
export function emailHtml(facts: Facts, ownText: string | undefined): string {
  const colour = COLOURS[(facts.state === 'resolved' ? 'resolved' : facts.severity) as keyof typeof COLOURS]
  const head = `<p><strong style="color:${colour}">${escapeHtml(headword(facts))}</strong> ${
    ownText === undefined ? escapeHtml(facts.message) : ''
  }</p>`
  const rows = detailsOf(facts).map(
    ([name, detail]) =>
      `<tr><td style="padding:2px 12px 2px 0;color:#666">${escapeHtml(name)}</td><td>${escapeHtml(detail)}</td></tr>`,
  )
  const body =
    ownText === undefined ? `<table>${rows.join('')}</table>` : `<p>${escapeHtml(ownText).replaceAll('\n', '<br>')}</p>`
  const link = facts.link === '' ? '' : `<p><a href="${escapeHtml(facts.link)}">Dashboard at that time</a></p>`
  return `<html><body style="font-family:sans-serif">${head}${body}${link}</body></html>`
}
