import { Counter, Gauge, Histogram, type Metric, Registry } from 'prom-client'

export { Counter, Gauge, Histogram, Registry } from 'prom-client'

/**
 * Metrics of one process. Count per batch, not per reading: prom-client's label hashing costs more than a reading does.
 * Every drop is counted with a reason. A name that exists already gives the metric that has it.
 */
export interface Metrics {
  readonly registry: Registry
  counter<L extends string>(name: string, help: string, labels?: readonly L[]): Counter<L>
  gauge<L extends string>(name: string, help: string, labels?: readonly L[]): Gauge<L>
  histogram<L extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly L[],
  ): Histogram<L>
}

export function createMetrics(process: string): Metrics {
  const registry = new Registry()
  registry.setDefaultLabels({ process })
  const registers = [registry]
  const known = <M extends Metric>(name: string) => registry.getSingleMetric(`tributary_${name}`) as M | undefined
  return {
    registry,
    counter: <L extends string>(name: string, help: string, labels: readonly L[] = []) =>
      known<Counter<L>>(name) ?? new Counter({ name: `tributary_${name}`, help, labelNames: [...labels], registers }),
    gauge: <L extends string>(name: string, help: string, labels: readonly L[] = []) =>
      known<Gauge<L>>(name) ?? new Gauge({ name: `tributary_${name}`, help, labelNames: [...labels], registers }),
    histogram: <L extends string>(name: string, help: string, buckets: readonly number[], labels: readonly L[] = []) =>
      known<Histogram<L>>(name) ??
      new Histogram({ name: `tributary_${name}`, help, labelNames: [...labels], buckets: [...buckets], registers }),
  }
}
