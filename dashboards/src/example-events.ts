/** Line protocol of anomalies and alerts as the processor writes it: every state, held, acknowledged, confirmed and dismissed. For tests only. */

interface Noticed {
  readonly kind: string
  readonly device: string
  /** None: it is about the device. */
  readonly field?: string
  readonly detector: string
  readonly component?: string
  readonly ageMs: number
  readonly value: number
  readonly expected: number
  readonly message: string
  readonly feedback?: 'confirmed' | 'dismissed'
  readonly severity?: 'warning' | 'critical'
  /** What became of its alert, in seconds since it was noticed; fired after one, and over after sixty where nothing is said. */
  readonly alerts?: readonly (readonly [state: string, second: number, more?: string])[]
}

const velocity = { kind: 'vibration', device: 'pump-1', field: 'velocity_rms_mm_s', value: 7.9, expected: 2.1 }
const NOTICED: readonly Noticed[] = [
  {
    ...{ ...velocity, detector: 'outlier', component: 'jump', ageMs: 150_000, feedback: 'confirmed' },
    message: 'Vibration velocity: 7.90 mm/s, 5.80 above the readings before it, highest in 20 min',
  },
  {
    ...{ ...velocity, detector: 'threshold_above_7.1', ageMs: 145_000, severity: 'critical' },
    message: 'Vibration velocity: 7.90 mm/s, 0.80 above the limit 7.1',
    alerts: [
      ['pending', 0],
      ['firing', 1],
      ['escalated', 60],
      ['acknowledged', 75, ',by="ann",comment="on my way"'],
    ],
  },
  {
    ...{ kind: 'vibration', device: 'pump-2', detector: 'together_velocity_rms_mm_s+temperature_c', ageMs: 240_000 },
    ...{ component: 'temperature_c', value: 66, expected: 54.2, feedback: 'dismissed' },
    message: 'Bearing temperature: 66.0 °C, 11.8 above the 54.2 that Vibration velocity (2.12 mm/s) lets expect',
    alerts: [
      ['firing', 1, ',held="silenced by 3f0c9a52"'],
      ['resolved', 50],
    ],
  },
  {
    ...{ kind: 'climate', device: 'thermometer-1', field: 'temperature_c', detector: 'outlier', component: 'shift' },
    ...{ ageMs: 320_000, value: 31.2, expected: 21.7 },
    message: 'Temperature: 31.20 °C, on average 9.50 above the 21.70 before',
  },
  {
    ...{ kind: 'climate', device: 'thermometer-2', detector: 'silence', ageMs: 440_000, value: 15, expected: 1 },
    message: 'no climate sample of thermometer-2 for 15 s, while its agent went on sending',
  },
  {
    ...{ kind: 'power', device: 'power-1', field: 'voltage_v', detector: 'outlier', component: 'jump' },
    ...{ ageMs: 95_000, value: 214.8, expected: 230.1 },
    message: 'Voltage: 214.8 V, 15.3 below the readings before it',
  },
  {
    ...{ kind: 'tank', device: 'tank-1', field: 'level_percent', detector: 'threshold_above_95' },
    ...{ ageMs: 210_000, value: 95.4, expected: 95 },
    message: 'Level: 95.4 %, 0.4 above the limit 95',
    alerts: [['historical', 0]],
  },
  ...[
    ['agent_health', 'agent-1', 'inputs_down'],
    ['gateway_health', 'gateway-1', 'spool_used_percent'],
    ['processor_health', 'processor-1', 'lag_batches'],
    ['host', 'agent-1', 'disk_used_percent'],
  ].map(
    ([kind = '', device = '', field = '']): Noticed => ({
      ...{ kind, device, field, detector: 'threshold_above_80', ageMs: 260_000, value: 84, expected: 80 },
      message: `${field}: 84, above the limit 80`,
    }),
  ),
]

/** They fire after a second. */
const afterText = (state: string, second: number): string =>
  ['acknowledged', 'resolved'].includes(state) ? `,after_seconds=${second - 1}` : ''

export function exampleEvents(site: string, nowMs: number): string[] {
  const lines = NOTICED.flatMap((one, i) => {
    const { kind, device, field, detector, component, ageMs, value, expected, message, feedback } = one
    const { severity = 'warning', alerts = [['firing', 1] as const, ['resolved', 60] as const] } = one
    const tags = `device=${device}${field ? `,field=${field}` : ''},detector=${detector},site=${site}`
    const said = `kind="${kind}",value=${value},message="${message}"`
    const judged = feedback ? `,feedback="${feedback}",feedback_by="ann",feedback_comment="seen"` : ''
    const more = `score=0.9${i % 10},expected=${expected},lower=${expected - 1},upper=${expected + 1}`
    const spoke = component ? `,component="${component}"` : ''
    return [
      `anomaly,${tags} ${said},${more}${spoke}${judged} ${nowMs - ageMs}`,
      ...alerts.map(
        ([state, second, also = '']) =>
          `alert,${tags},rule=${kind}.${detector} episode="e${i}",state="${state}",severity="${severity}",${said}${also}${afterText(state, second)} ${nowMs - ageMs + second * 1_000}`,
      ),
    ]
  })
  const gone = `alert,device=agent-1,detector=agent_unreachable,rule=agent_unreachable,site=${site} episode="gone",severity="critical",kind="",value=60`
  const message = 'message="nothing was heard of agent-1 for 60 s; 6 series of devices are behind it"'
  return [
    ...lines,
    `${gone},${message},state="firing" ${nowMs - 500_000}`,
    `${gone},${message},state="resolved",after_seconds=30 ${nowMs - 470_000}`,
  ]
}
