/**
 * Opens the app without a network: one cache per release, the whole of it or nothing.
 * The API, tiles and everything else go to the network as if this file did not exist. A new release waits until the
 * page says so, which it does only when the person agrees.
 */
const PREFIX = 'wangge-phone-'
const RELEASE = `${PREFIX}__RELEASE__`
const FILES = ['__FILES__']

self.addEventListener('install', (event) => {
  // `reload` goes past the browser's own cache: a release mixed of old and new files must not come about.
  event.waitUntil(
    caches.open(RELEASE).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'reload' })))),
  )
})

self.addEventListener('activate', (event) => {
  // The release before stays one round longer: a page still open may ask for a part of it.
  event.waitUntil(
    caches.keys().then((names) => {
      const before = names.filter((name) => name.startsWith(PREFIX) && name !== RELEASE)
      return Promise.all(before.slice(0, -1).map((name) => caches.delete(name)))
    }),
  )
})

self.addEventListener('message', (event) => {
  if (event.data === 'take-over') self.skipWaiting()
})

async function fromRelease(path) {
  const cache = await caches.open(RELEASE)
  return (await cache.match(path)) ?? (await caches.match(path))
}

self.addEventListener('fetch', (event) => {
  const address = new URL(event.request.url)
  if (event.request.method !== 'GET' || address.origin !== self.location.origin) return
  if (event.request.mode === 'navigate' && (address.pathname === '/m' || address.pathname === '/m/')) {
    event.respondWith(fromRelease('/m').then((kept) => kept ?? fetch(event.request)))
  } else if (address.pathname.startsWith('/m/') && address.pathname !== '/m/sw.js') {
    event.respondWith(fromRelease(address.pathname).then((kept) => kept ?? fetch(event.request)))
  }
})
