/** A tool's own drawing over the map: one source, its layers on top of everything, gone with the tool. */
import type {
  CircleLayerSpecification,
  FillLayerSpecification,
  GeoJSONSource,
  LayerSpecification,
  LineLayerSpecification,
  Map as MapLibreMap,
  SymbolLayerSpecification,
} from 'maplibre-gl'

export const collection = (features: GeoJSON.Feature[] = []): GeoJSON.FeatureCollection => ({ type: 'FeatureCollection', features })

/** A layer without its source, which is the overlay's. */
export type Part = Omit<FillLayerSpecification, 'source'> | Omit<LineLayerSpecification, 'source'> | Omit<CircleLayerSpecification, 'source'> | Omit<SymbolLayerSpecification, 'source'>

export interface Overlay {
  show: (features: GeoJSON.Feature[]) => void
  remove: () => void
}

export function overlay(map: MapLibreMap, name: string, parts: readonly Part[]): Overlay {
  const source = `tool-${name}`
  if (!map.getSource(source)) map.addSource(source, { type: 'geojson', data: collection() })
  for (const part of parts) if (!map.getLayer(`${source}-${part.id}`)) map.addLayer({ ...part, id: `${source}-${part.id}`, source } as LayerSpecification)
  return {
    show: (features) => void map.getSource<GeoJSONSource>(source)?.setData(collection(features)),
    remove() {
      for (const part of parts) if (map.getLayer(`${source}-${part.id}`)) map.removeLayer(`${source}-${part.id}`)
      if (map.getSource(source)) map.removeSource(source)
    },
  }
}

const METRES_PER_DEGREE = 111_320
/** A ring to look at; files get theirs from the server, exact on the ellipsoid. */
export function ring([lon, lat]: [number, number], radius: number, corners = 72): [number, number][] {
  const across = METRES_PER_DEGREE * Math.cos((lat * Math.PI) / 180)
  return Array.from({ length: corners + 1 }, (_, i) => {
    const turn = (i / corners) * 2 * Math.PI
    return [lon + (radius * Math.sin(turn)) / across, lat + (radius * Math.cos(turn)) / METRES_PER_DEGREE]
  })
}

/** The direction from one point to another on the map, degrees from north. */
export function bearing([x0, y0]: number[], [x1, y1]: number[]): number {
  const across = Math.cos((((y0! + y1!) / 2) * Math.PI) / 180)
  return (Math.atan2((x1! - x0!) * across, y1! - y0!) * 180) / Math.PI
}
