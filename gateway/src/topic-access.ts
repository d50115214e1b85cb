/** Who may publish and subscribe where: an agent, on its own topics, and nobody else anywhere. */
import { type AgentChannel, parseMqttTopic } from '@tributary/protocol'

const FROM_AGENT: readonly AgentChannel[] = ['batch', 'clock']
const TO_AGENT: readonly AgentChannel[] = ['stored', 'command', 'clock']

function ownChannel(agent: string, topic: string, channels: readonly AgentChannel[]): AgentChannel | undefined {
  const address = parseMqttTopic(topic)
  return address?.agent === agent && channels.includes(address.channel) ? address.channel : undefined
}

/** @returns the channel, or undefined when the agent must not publish there */
export const mayPublish = (agent: string, topic: string): AgentChannel | undefined =>
  ownChannel(agent, topic, FROM_AGENT)

/** @returns the channel, or undefined when the agent must not subscribe to it; wildcards never match a channel */
export const maySubscribe = (agent: string, topic: string): AgentChannel | undefined =>
  ownChannel(agent, topic, TO_AGENT)
