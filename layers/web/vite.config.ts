import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import vue from '@vitejs/plugin-vue'
import { defineConfig, type Plugin } from 'vite'

// One entry per page; the server hands out `<page>.html` at `/<page>` and everything else under /static/.
const page = (name: string) => fileURLToPath(new URL(`./${name}.html`, import.meta.url))

// The stand-alone folium map (layers/folium_map.py) puts these into its HTML: it must open without any network.
const foliumAssets = (): Plugin => ({
  name: 'folium-assets',
  generateBundle() {
    for (const path of [
      'leaflet/dist/leaflet.js',
      'leaflet/dist/leaflet.css',
      'leaflet.markercluster/dist/leaflet.markercluster.js',
      'leaflet.markercluster/dist/MarkerCluster.css',
    ]) {
      const source = readFileSync(new URL(`./node_modules/${path}`, import.meta.url))
      this.emitFile({ type: 'asset', fileName: `folium/${path.split('/').pop()}`, source })
    }
  },
})

export default defineConfig({
  base: '/static/',
  plugins: [vue(), foliumAssets()],
  build: {
    target: 'es2022',
    chunkSizeWarningLimit: 1800,
    rolldownOptions: { input: { wall: page('wall'), desk: page('desk'), login: page('login'), report: page('report'), remote: page('remote') } },
  },
  server: {
    // `WANGGE_API=http://127.0.0.1:8000 npm run dev` works on the pages against a running town.
    proxy: Object.fromEntries(
      ['/api', '/tiles', '/style.json'].map((path) => [path, process.env.WANGGE_API ?? 'http://127.0.0.1:8000']),
    ),
  },
})
