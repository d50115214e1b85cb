/** `npm run build:viewer`: bundles the browser half into `dist/viewer`, for installations without esbuild. */
import { gzipSync } from 'node:zlib'
import { builtAssetsFolder, writeAssets } from './viewer-assets.ts'

for (const [name, { body }] of await writeAssets(builtAssetsFolder))
  console.log(
    `${name} ${(body.length / 1024).toFixed(1)} KiB, gzipped ${(gzipSync(body).length / 1024).toFixed(1)} KiB`,
  )
