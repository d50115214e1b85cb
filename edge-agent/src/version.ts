/** Told in `/status`, `--version` and the agent's health; a test keeps it equal to package.json. */
export const VERSION = '0.1.0'
