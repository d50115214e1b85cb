/** Dashboards that use everything that the viewer draws, on the data of `example-lines.ts`. For tests only. */
import { common, grouped, legend, look, of, panel, rows, target } from './example-panels.ts'
import { exampleVariables } from './example-variables.ts'
import type { DashboardJson } from './rendering/dashboard-json.ts'

export const exampleCharts: DashboardJson = {
  ...common,
  uid: 'example-charts',
  title: 'Charts',
  annotations: {
    list: [
      {
        name: 'Alerts',
        enable: true,
        iconColor: 'red',
        target: {
          query: 'SELECT "message", "device", "state" FROM "alert" WHERE $timeFilter ORDER BY time DESC LIMIT 20',
          textColumn: 'message',
          tagsColumn: 'device,state',
        },
        filter: { exclude: true, ids: [2, 3, 4] },
      },
    ],
  },
  panels: [
    panel(1, 'timeseries', 'Band', [0, 0, 12, 8], {
      description: 'What is normal, behind what was measured.',
      targets: [
        target('A', `SELECT mean("temperature_c") FROM "climate" ${of('thermometer-1')}`, 'Temperature'),
        target('B', `SELECT mean("temperature_c") + 1 FROM "climate" ${of('thermometer-1')}`, 'upper'),
        target('C', `SELECT mean("temperature_c") - 1 FROM "climate" ${of('thermometer-1')}`, 'lower'),
        target('D', `SELECT mean("humidity_percent") FROM "climate" ${of('thermometer-1')}`, 'Humidity'),
      ],
      defaults: {
        unit: 'celsius',
        decimals: 2,
        color: { mode: 'palette-classic' },
        custom: {
          lineWidth: 2,
          spanNulls: 60_000,
          showPoints: 'never',
          axisSoftMin: 18,
          thresholdsStyle: { mode: 'dashed+area' },
        },
        thresholds: {
          mode: 'absolute',
          steps: [
            { value: null, color: 'transparent' },
            { value: 23, color: 'orange' },
          ],
        },
      },
      overrides: [
        look('/^(upper|lower)$/', 'byRegexp', {
          'custom.lineWidth': 0,
          'custom.hideFrom': { legend: true, tooltip: false, viz: false },
          color: { mode: 'fixed', fixedColor: 'gray' },
        }),
        look('upper', 'byName', { 'custom.fillBelowTo': 'lower', 'custom.fillOpacity': 20 }),
        look('D', 'byFrameRefID', {
          unit: 'percent',
          'custom.axisPlacement': 'right',
          'custom.axisLabel': 'Humidity',
          'custom.lineStyle': { fill: 'dash', dash: [6, 4] },
          thresholds: { mode: 'absolute', steps: [{ value: null, color: 'transparent' }] },
          links: [
            { title: 'Its device', url: '/d/example-tables?var-device=${__field.labels.device}&${__url_time_range}' },
          ],
        }),
      ],
      options: {
        legend: legend('table', ['lastNotNull', 'min', 'max', 'mean']),
        tooltip: { mode: 'multi', sort: 'none' },
      },
    }),
    panel(2, 'timeseries', 'Stacked bars', [12, 0, 12, 8], {
      interval: '1m',
      targets: [
        target(
          'A',
          `SELECT max("produced") - min("produced") FROM "account" ${grouped}, "device" fill(none)`,
          '$tag_device',
        ),
      ],
      defaults: {
        unit: 'none',
        custom: { drawStyle: 'bars', fillOpacity: 70, lineWidth: 0, stacking: { mode: 'normal', group: 'A' } },
      },
      options: { legend: legend('list', ['sum', 'max']), tooltip: { mode: 'multi', sort: 'desc' } },
    }),
    panel(3, 'timeseries', 'Points', [0, 8, 8, 6], {
      targets: [target('A', `SELECT mean("pressure_hpa") FROM "climate" ${grouped}, "device"`, '$tag_device')],
      defaults: {
        unit: 'pressurehpa',
        decimals: 3,
        custom: { drawStyle: 'points', pointSize: 4, axisPlacement: 'hidden' },
      },
      options: { legend: legend('list', []), tooltip: { mode: 'single', sort: 'none' } },
    }),
    panel(4, 'timeseries', 'Steps', [8, 8, 8, 6], {
      targets: [
        target('A', `SELECT mean("speed_rpm") FROM "vibration" ${grouped}, "device"`, '$tag_device'),
        { ...target('B', 'SELECT "nothing" FROM "nowhere" WHERE $timeFilter'), hide: true },
      ],
      defaults: {
        displayName: 'Speed of ${__field.labels.device}',
        unit: 'suffix: rpm',
        min: 1400,
        max: 1600,
        color: { mode: 'thresholds' },
        thresholds: {
          steps: [
            { value: null, color: 'blue' },
            { value: 1500, color: 'red' },
          ],
        },
        custom: {
          lineInterpolation: 'stepAfter',
          fillOpacity: 10,
          showPoints: 'always',
          thresholdsStyle: { mode: 'line' },
        },
      },
      options: { legend: legend('list', ['lastNotNull']), tooltip: { mode: 'none' } },
    }),
    panel(5, 'state-timeline', 'States', [16, 8, 8, 6], {
      interval: '10s',
      targets: [
        target('A', `SELECT last("temperature_c") FROM "climate" ${grouped}, "device" fill(null)`, '$tag_device'),
      ],
      defaults: {
        mappings: [
          { type: 'special', options: { match: 'null', result: { text: 'silent', color: 'purple', index: 0 } } },
          { type: 'range', options: { from: -100, to: 100, result: { text: 'live', color: 'green', index: 1 } } },
        ],
        custom: { fillOpacity: 80, lineWidth: 0, spanNulls: 25_000 },
      },
      options: {
        mergeValues: true,
        showValue: 'auto',
        rowHeight: 0.8,
        legend: legend('list', []),
      },
    }),
    panel(7, 'state-timeline', 'Long names', [0, 22, 24, 5], {
      interval: '10s',
      targets: [
        target(
          'A',
          `SELECT last("temperature_c") FROM "climate" ${grouped}, "device" fill(null)`,
          'Temperature of the hall, as it is measured by $tag_device',
        ),
      ],
      defaults: { color: { mode: 'fixed', fixedColor: 'blue' } },
    }),
    panel(6, 'heatmap', 'Heat', [0, 14, 24, 8], {
      interval: '1m',
      targets: [
        target('A', `SELECT mean("temperature_c_mean") FROM "rollup"."climate_1m" ${grouped}, "device"`, '$tag_device'),
      ],
      defaults: { unit: 'celsius', decimals: 1 },
      options: {
        color: { scheme: 'YlGnBu', steps: 64, reverse: false, min: 18, max: 26 },
        cellGap: 1,
        showValue: 'never',
        yAxis: { axisLabel: 'Device' },
        legend: { show: true },
        filterValues: { le: 1e-9 },
        tooltip: { mode: 'single' },
      },
    }),
  ],
}

export const exampleTables: DashboardJson = {
  ...common,
  uid: 'example-tables',
  title: 'Tables',
  panels: [
    panel(1, 'table', 'Merged', [0, 0, 14, 7], {
      timeFrom: '24h',
      hideTimeOverride: true,
      targets: [
        rows('A', 'SELECT last("produced") AS "produced" FROM "account" WHERE $timeFilter GROUP BY "device"'),
        rows('B', 'SELECT last("stored") AS "stored" FROM "account" WHERE $timeFilter GROUP BY "device"'),
        rows(
          'C',
          `SELECT last("shed") AS "shed" FROM "account" WHERE $timeFilter AND "device" = 'agent-2' GROUP BY "device"`,
        ),
      ],
      transformations: [
        { id: 'organize', options: { excludeByName: { Time: true } } },
        { id: 'merge', options: {} },
        { id: 'sortBy', options: { sort: [{ field: 'produced', desc: true }] } },
        { id: 'organize', options: { renameByName: { device: 'Agent', produced: 'Produced', shed: 'Shed' } } },
      ],
      defaults: { unit: 'locale', noValue: '–' },
      overrides: [
        look('Agent', 'byName', {
          'custom.width': 110,
          links: [
            { title: 'Open', url: '/d/example-variables?var-device=${__data.fields.device}&${__url_time_range}' },
          ],
        }),
        look('Produced', 'byName', {
          'custom.displayMode': 'gradient-gauge',
          color: { mode: 'continuous-blues' },
          min: 0,
        }),
        look('stored', 'byName', {
          displayName: 'Stored',
          'custom.displayMode': 'color-background',
          color: { mode: 'continuous-YlBl' },
        }),
        look('Shed', 'byName', {
          'custom.displayMode': 'color-text',
          mappings: [{ type: 'special', options: { match: 'null', result: { text: 'nothing', color: 'green' } } }],
        }),
      ],
    }),
    panel(2, 'table', 'Joined', [14, 0, 10, 7], {
      interval: '1m',
      targets: [
        target('A', `SELECT mean("voltage_v") FROM "power" ${of('power-1')}`, 'one'),
        target('B', `SELECT mean("voltage_v") FROM "power" ${of('power-2')}`, 'two'),
      ],
      transformations: [{ id: 'joinByField', options: { byField: 'Time', mode: 'outer' } }],
      defaults: { unit: 'volt', decimals: 1 },
      overrides: [look('two', 'byName', { 'custom.displayMode': 'lcd-gauge', min: 200, max: 260 })],
      options: { sortBy: [{ displayName: 'Time', desc: true }] },
    }),
    panel(3, 'stat', 'Tiles', [0, 7, 12, 4], {
      links: [{ title: 'Runbook', url: 'https://tributary.example/runbook?$__url_time_range', targetBlank: true }],
      targets: [target('A', `SELECT mean("level_percent") FROM "tank" ${grouped}, "device"`, '$tag_device')],
      defaults: {
        unit: 'percent',
        decimals: 1,
        color: { mode: 'thresholds' },
        thresholds: {
          steps: [
            { value: null, color: 'dark-green' },
            { value: 99, color: 'dark-red' },
          ],
        },
        links: [{ title: 'Open', url: '/d/example-variables?var-device=${__field.labels.device}' }],
      },
      options: {
        colorMode: 'background',
        textMode: 'value_and_name',
        graphMode: 'area',
        reduceOptions: { calcs: ['mean'], fields: '', values: false },
      },
    }),
    panel(7, 'bargauge', 'Long names', [0, 11, 12, 4], {
      links: [
        { title: 'Runbook', url: '/docs/runbook.md' },
        { title: 'Charts', url: '/d/example-charts?$__url_time_range' },
        { title: 'Elsewhere', url: 'https://tributary.example/', targetBlank: true },
      ],
      targets: [
        target(
          'A',
          `SELECT mean("level_percent") FROM "tank" ${grouped}, "device"`,
          'Level of $tag_device (warning < 5, > 90, critical > 95)',
        ),
      ],
      defaults: { unit: 'percent', decimals: 0, min: 0, max: 100 },
      options: { displayMode: 'lcd', reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } },
    }),
    ...(['gradient', 'lcd', 'basic'] as const).map((displayMode, i) =>
      panel(4 + i, 'bargauge', `Bars ${displayMode}`, [12 + i * 4, 7, 4, 4], {
        targets: [target('A', `SELECT mean("level_percent") FROM "tank" ${grouped}, "device"`, '$tag_device')],
        defaults: {
          unit: 'percent',
          decimals: 0,
          min: 0,
          max: 100,
          color: { mode: 'thresholds' },
          thresholds: {
            steps: [
              { value: null, color: 'green' },
              { value: 30, color: 'orange' },
            ],
          },
        },
        options: {
          displayMode,
          valueMode: 'text',
          showUnfilled: true,
          reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
        },
      }),
    ),
  ],
}

export const exampleDashboards: readonly DashboardJson[] = [exampleCharts, exampleTables, exampleVariables]
