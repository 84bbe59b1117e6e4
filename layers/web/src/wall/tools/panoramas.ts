/** The panoramas there are, and which one is looked at. */
import { computed, shallowRef } from 'vue'

import { addressed } from '../state'
import { mapApi, type Panorama } from './api'

export const panoramas = shallowRef<Panorama[]>([])
/** The id of the one that is open. */
export const opened = addressed('panorama')
export const looked = computed(() => panoramas.value.find((one) => one.id === opened.value) ?? null)

export async function readPanoramas(): Promise<void> {
  panoramas.value = await mapApi.panoramas()
}

export const points = (): GeoJSON.FeatureCollection => ({
  type: 'FeatureCollection',
  features: panoramas.value.map(({ id, name, lon, lat }) => ({ type: 'Feature', properties: { id, name }, geometry: { type: 'Point', coordinates: [lon, lat] } })),
})
