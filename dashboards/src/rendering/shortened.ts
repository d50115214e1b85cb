/** A text that fits: its middle is left out, because names of one place begin alike and end differently. */

/** @param measure how wide a text is. @returns at least one character and the sign that some are missing */
export function shortened(text: string, widthMax: number, measure: (text: string) => number): string {
  if (measure(text) <= widthMax) return text
  const characters = [...text]
  for (let kept = characters.length - 1; kept > 1; kept--) {
    const head = Math.ceil(kept / 2)
    const candidate = `${characters.slice(0, head).join('').trimEnd()}…${characters
      .slice(head - kept)
      .join('')
      .trimStart()}`
    if (measure(candidate) <= widthMax) return candidate
  }
  return `${characters[0] ?? ''}…`
}
