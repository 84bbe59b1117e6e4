import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

import vue from '@vitejs/plugin-vue'
import { defineConfig, type Plugin } from 'vite'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const VERSION = JSON.parse(readFileSync(here('./package.json'), 'utf8')).version as string

/** The service worker knows its release by name and every file of it; each file also goes out packed. */
const release = (): Plugin => ({
  name: 'release',
  enforce: 'post',
  generateBundle: {
    order: 'post',
    handler(_, bundle) {
      const files = Object.values(bundle).map((file) => ({
        name: file.fileName,
        content: Buffer.from(file.type === 'chunk' ? file.code : file.source),
      }))
      for (const name of readdirSync(here('./public'))) files.push({ name, content: readFileSync(here(`./public/${name}`)) })
      const digest = createHash('sha256')
      for (const file of files.sort((a, b) => (a.name < b.name ? -1 : 1))) digest.update(file.name).update(file.content)
      const name = `${VERSION}-${digest.digest('hex').slice(0, 12)}`
      const cached = files.map((file) => (file.name === 'index.html' ? '/m' : `/m/${file.name}`))
      const worker = readFileSync(here('./src/worker/sw.js'), 'utf8')
        .replace('__RELEASE__', name)
        .replace("['__FILES__']", JSON.stringify(cached))
      files.push({ name: 'sw.js', content: Buffer.from(worker) })
      this.emitFile({ type: 'asset', fileName: 'sw.js', source: worker })
      for (const file of files) {
        if (/\.(js|mjs|css|html|svg|webmanifest)$/.test(file.name) && file.content.length > 1000) {
          this.emitFile({ type: 'asset', fileName: `${file.name}.gz`, source: gzipSync(file.content, { level: 9 }) })
        }
      }
    },
  },
})

export default defineConfig({
  base: '/m/',
  plugins: [vue(), release()],
  define: { __VERSION__: JSON.stringify(VERSION) },
  worker: { format: 'es' },
  build: { target: 'es2022', chunkSizeWarningLimit: 1300 },
  server: {
    // `WANGGE_API=http://127.0.0.1:8000 npm run dev` works on the app against a running town (without its worker).
    proxy: Object.fromEntries(
      ['/api', '/tiles', '/style.json'].map((path) => [path, process.env.WANGGE_API ?? 'http://127.0.0.1:8000']),
    ),
  },
})
