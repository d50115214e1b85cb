/** Detectors of links, judged in `link-watch.ts`: they are about no series. */

export const AGENT_UNREACHABLE = 'agent_unreachable'
export const GATEWAY_UNREACHABLE = 'gateway_unreachable'

export const isLinkDetector = (name: string): boolean => name === AGENT_UNREACHABLE || name === GATEWAY_UNREACHABLE
