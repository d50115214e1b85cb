/** A dashboard that uses every kind of variable, repeated panels, rows and texts, on the data of `example-lines.ts`. For tests only. */
import { common, grouped, panel, target } from './example-panels.ts'
import type { DashboardJson, PanelJson } from './rendering/dashboard-json.ts'

export const exampleVariables: DashboardJson = {
  ...common,
  uid: 'example-variables',
  title: 'Variables',
  links: [
    { title: 'Charts of these', type: 'link', url: '/d/example-charts', keepTime: true, includeVars: true },
    { title: 'Dashboards', type: 'dashboards', tags: ['tributary'], keepTime: true, includeVars: true },
  ],
  templating: {
    list: [
      {
        name: 'site',
        label: 'Site',
        type: 'query',
        query: 'SHOW TAG VALUES FROM "climate" WITH KEY = "site"',
        multi: true,
        includeAll: true,
        allValue: '.*',
        current: { value: ['$__all'] },
      },
      {
        name: 'device',
        label: 'Device',
        type: 'query',
        query: 'SHOW TAG VALUES FROM "climate" WITH KEY = "device" WHERE "site" =~ /^$site$/',
        multi: true,
        includeAll: true,
        current: { value: ['$__all'] },
      },
      {
        name: 'field',
        label: 'Shows',
        type: 'custom',
        query: 'Temperature : temperature_c, Humidity : humidity_percent',
        current: { value: 'temperature_c' },
      },
      { name: 'limit', label: 'At most', type: 'textbox', query: '1000', current: { value: '1000' } },
      { name: 'unseen', type: 'custom', query: 'x', hide: 2, current: { value: 'x' } },
    ],
  },
  panels: [
    panel(1, 'text', 'About', [0, 0, 24, 4], {
      options: {
        content: '**$device** at *${site:csv}*, see the [charts](/d/example-charts):\n\n- `$field`\n- at most $limit',
      },
    }),
    panel(2, 'timeseries', '$device', [0, 4, 24, 6], {
      repeat: 'device',
      maxPerRow: 2,
      targets: [
        target(
          'A',
          `SELECT mean("$field") FROM "climate" WHERE $timeFilter AND "device" =~ /^$device$/ AND "$field" < $limit ${'GROUP BY time($__interval), "device"'}`,
          '$tag_device',
        ),
      ],
    }),
    panel(3, 'row', 'Account', [0, 10, 24, 1], {}),
    panel(4, 'stat', 'Stored', [0, 11, 12, 3], {
      targets: [target('A', `SELECT last("stored") FROM "account" ${grouped}`, 'Stored')],
      defaults: { unit: 'locale', links: [] },
    }),
    {
      ...panel(5, 'row', 'More', [0, 14, 24, 1], {}),
      collapsed: true,
      panels: [
        panel(6, 'stat', 'Missing', [0, 15, 12, 3], {
          targets: [target('A', `SELECT sum("missing") FROM "account" ${grouped}`, 'Missing')],
          transparent: true,
        }),
      ],
    },
  ].map((one) => (one.type === 'row' ? rowOf(one as PanelJson) : (one as PanelJson))),
}

/** Rows have no data. */
function rowOf({ id, title, type, gridPos, collapsed = false, panels = [] }: PanelJson): PanelJson {
  return { id, type, title: title ?? '', gridPos, collapsed, panels }
}
