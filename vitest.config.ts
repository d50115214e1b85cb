import { defineConfig } from 'vitest/config'

const slow = ['{*,gateway/node-red}/src/**/*.integration.test.ts', 'e2e/**/*.test.ts']

/** `unit` needs no server and no second process, and takes less than a minute (its files share loaded modules, none of which keeps state); `integration` is all the rest. */
export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          isolate: false,
          include: ['*.test.ts', '{*,gateway/node-red}/src/**/*.test.ts', 'bench/**/*.test.ts'],
          exclude: slow,
          testTimeout: 30_000,
        },
      },
      { extends: true, test: { name: 'integration', include: slow, testTimeout: 60_000, hookTimeout: 120_000 } },
    ],
  },
})
