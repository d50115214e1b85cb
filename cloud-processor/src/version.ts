/** Told in `/status` and the processor's health; a test keeps it equal to package.json. */
export const VERSION = '0.1.0'
