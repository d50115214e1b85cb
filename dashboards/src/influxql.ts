/** Pieces of InfluxQL. */

export const identifier = (name: string): string => `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
export const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** Only what the variables `site` and `device` select; both may stand for several names or all. */
export const SITE = `"site" =~ /^$site$/`
export const SITE_AND_DEVICE = `${SITE} AND "device" =~ /^$device$/`
