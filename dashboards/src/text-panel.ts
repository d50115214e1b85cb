/** Panels that ask nothing: words, and headings. */
import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { TextMode, PanelBuilder as TextPanel } from '@grafana/grafana-foundation-sdk/text'
import { DATASOURCE } from './influx-query.ts'
import type { PanelPlace } from './panels.ts'

/** @param markdown paragraphs, bold, lists, links */
export const text = ({ id, title, span, height }: PanelPlace, markdown: string): TextPanel =>
  new TextPanel()
    .id(id)
    .title(title)
    .datasource(DATASOURCE)
    .span(span)
    .height(height)
    .mode(TextMode.Markdown)
    .content(markdown)

/** A heading over the panels that follow; whoever closes it sees only the others. */
export const section = (id: number, title: string): RowBuilder =>
  new RowBuilder(title).id(id).datasource(DATASOURCE).collapsed(false)
