/** What agents, gateways, processors and computers say of themselves, as they are on a good day. For tests only. */

type Shape = readonly [centre: number, swing: number, noise: number]

/** Integers in tenths. */
export const HEALTH_SHAPES: Readonly<Record<string, Shape>> = {
  'agent_health.acknowledged_p50_ms': [640, 40, 25],
  'agent_health.acknowledged_p99_ms': [1_080, 90, 70],
  'agent_health.backlog_batches': [0.3, 0.1, 0.1],
  'agent_health.backlog_bytes': [240, 60, 20],
  'agent_health.drain_seconds': [2.4, 1, 0.6],
  'agent_health.spool_bytes_used': [3.1e6, 2e5, 1e4],
  'agent_health.spool_used_percent': [4.1, 0.6, 0.05],
  'agent_health.inputs_down': [0, 0, 0],
  'agent_health.clock_offset_ms': [2, 6, 1.5],
  'agent_health.memory_rss_bytes': [8.1e6, 3e5, 2e4],
  'agent_health.cpu_percent': [4.5, 1, 0.6],
  'gateway_health.agents_connected': [0.2, 0, 0],
  'gateway_health.forwarded_p50_ms': [5, 1, 0.6],
  'gateway_health.forwarded_p99_ms': [19, 4, 4],
  'gateway_health.backlog_batches': [0.2, 0.1, 0.1],
  'gateway_health.backlog_bytes': [180, 40, 20],
  'gateway_health.drain_seconds': [0.4, 0.2, 0.1],
  'gateway_health.batches_not_stored': [0.9, 0.3, 0.2],
  'gateway_health.spool_bytes_used': [9.4e6, 5e5, 2e4],
  'gateway_health.spool_used_percent': [8.8, 0.9, 0.1],
  'gateway_health.memory_rss_bytes': [9.6e6, 4e5, 2e4],
  'gateway_health.cpu_percent': [6, 1.2, 0.8],
  'processor_health.readings_per_s': [414, 6, 4],
  'processor_health.batches_missing': [0, 0, 0],
  'processor_health.lag_batches': [0.6, 0.3, 0.2],
  'processor_health.latency_p50_ms': [720, 40, 30],
  'processor_health.latency_p99_ms': [1_320, 110, 90],
  'processor_health.stored_p50_ms': [46, 6, 4],
  'processor_health.stored_p99_ms': [148, 22, 20],
  'processor_health.influx_write_ms': [13, 3, 3],
  'processor_health.checkpoint_ms': [8, 2, 1],
  'processor_health.notifications_waiting': [0, 0, 0],
  'processor_health.receivers_failing': [0, 0, 0],
  'processor_health.memory_rss_bytes': [1.42e7, 6e5, 3e4],
  'processor_health.cpu_percent': [11, 2, 1.4],
  'host.cpu_percent': [17, 5, 2],
  'host.load_1m': [0.5, 0.2, 0.05],
  'host.memory_used_percent': [43, 3, 0.3],
  'host.memory_used_bytes': [1.7e8, 1e7, 1e6],
  'host.disk_used_percent': [36, 1, 0.05],
  'host.disk_free_bytes': [1.9e9, 1e7, 1e6],
  'host.soc_temperature_c': [52, 3, 0.5],
}

/** Growth a second; 1 of all others. */
const GROWTH: Readonly<Record<string, number>> = {
  'agent_health.spool_bytes_written_total': 31_000,
  'gateway_health.spool_bytes_written_total': 44_000,
  'gateway_health.readings_received_total': 31.5,
  'gateway_health.batches_refused_total': 0.004,
  'gateway_health.logins_refused_total': 0.002,
  'gateway_health.forward_retries_total': 0.02,
  'processor_health.influx_retries_total': 0.01,
  'processor_health.readings_late_total': 0.003,
}
const EPOCH_MS = 1_700_000_000_000

export const exampleCounter = (kind: string, field: string, timeMs: number): number =>
  Math.floor(((timeMs - EPOCH_MS) / 1_000) * (GROWTH[`${kind}.${field}`] ?? 1))

/** Once in a quarter of an hour something is the matter for two minutes. */
export function exampleState(kind: string, device: string, timeMs: number): string {
  const minute = Math.floor(timeMs / 60_000) % 15
  if (device === 'agent-2' && minute >= 7 && minute < 9) return 'clock_not_trusted'
  if (device !== 'agent-2' && minute >= 3 && minute < 5) return 'draining'
  return kind === 'gateway_health' && minute === 12 ? 'offline' : 'live'
}

/** Of fields that are no numbers; undefined where nothing is known of the field. */
export function healthText(kind: string, device: string, field: string, timeMs: number): string | undefined {
  const state = exampleState(kind, device, timeMs)
  switch (`${kind}.${field}`) {
    case 'agent_health.state':
    case 'gateway_health.state':
      return `"${state}"`
    case 'agent_health.clock_trusted':
      return String(state !== 'clock_not_trusted')
    case 'agent_health.connected':
    case 'gateway_health.nats_connected':
      return String(state !== 'offline')
    case 'host.under_voltage':
      return 'false'
    default:
      return undefined
  }
}
