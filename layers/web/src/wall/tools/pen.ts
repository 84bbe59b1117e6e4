/** Drawing with the pointer: one shape at a time, handed over when it is finished. Knows terra-draw; keeps nothing. */
import type { Map as MapLibreMap } from 'maplibre-gl'
import {
  TerraDraw,
  TerraDrawCircleMode,
  TerraDrawLineStringMode,
  TerraDrawPointMode,
  TerraDrawPolygonMode,
  TerraDrawRectangleMode,
  TerraDrawSelectMode,
  type GeoJSONStoreFeatures,
} from 'terra-draw'
import { TerraDrawMapLibreGLAdapter } from 'terra-draw-maplibre-gl-adapter'

import type { WallMap } from '../map/wallmap'

export type Nib = 'point' | 'line' | 'polygon' | 'box' | 'circle'
export type Drawn = GeoJSON.Point | GeoJSON.LineString | GeoJSON.Polygon

const MODE: Record<Nib, string> = { point: 'point', line: 'linestring', polygon: 'polygon', box: 'rectangle', circle: 'circle' }
const WHITE = '#ffffff' as const

/** On a wall drawn twice as large a pointer's place is half as far into the map as its pixels say. */
class Adapter extends TerraDrawMapLibreGLAdapter<MapLibreMap> {
  constructor(private readonly drawn: MapLibreMap) {
    super({ map: drawn, coordinatePrecision: 9, prefixId: 'pen' })
  }

  private at(event: PointerEvent | MouseEvent): [number, number] {
    const canvas = this.drawn.getCanvas()
    const box = canvas.getBoundingClientRect()
    const scale = box.width / canvas.clientWidth || 1
    return [(event.clientX - box.left) / scale, (event.clientY - box.top) / scale]
  }

  override getLngLatFromEvent(event: PointerEvent | MouseEvent) {
    const { lng, lat } = this.drawn.unproject(this.at(event))
    return { lng, lat }
  }

  protected override getMapElementXYPosition(event: PointerEvent | MouseEvent) {
    const [containerX, containerY] = this.at(event)
    return { containerX, containerY }
  }
}

export interface Listener {
  /** While it is being drawn, the pointer's place included. */
  moving?: (shape: Drawn) => void
  /** Once it is finished; `radius` in metres for a circle. */
  done?: (shape: Drawn, radius?: number) => void
  /** While a shape given to `reshape` is changed. */
  reshaped?: (shape: Drawn) => void
}

export class Pen {
  private readonly draw: TerraDraw
  private reshaping: string | number | null = null
  private nib: Nib | null = null

  constructor(
    private readonly wall: WallMap,
    listener: Listener,
  ) {
    const outline = { fillColor: WHITE, fillOpacity: 0.12, outlineColor: WHITE, outlineWidth: 2 } as const
    this.draw = new TerraDraw({
      adapter: new Adapter(wall.map),
      modes: [
        new TerraDrawPointMode({ styles: { pointColor: WHITE, pointWidth: 5 } }),
        new TerraDrawLineStringMode({ styles: { lineStringColor: WHITE, lineStringWidth: 2, closingPointColor: WHITE, closingPointWidth: 4 } }),
        new TerraDrawPolygonMode({ styles: { ...outline, closingPointColor: WHITE, closingPointWidth: 4 } }),
        new TerraDrawRectangleMode({ styles: outline }),
        new TerraDrawCircleMode({ styles: outline, segments: 72, projection: 'globe' }),
        new TerraDrawSelectMode({
          flags: Object.fromEntries(
            ['point', 'linestring', 'polygon'].map((mode) => [mode, { feature: { draggable: true, coordinates: { midpoints: true, draggable: true, deletable: true } } }]),
          ),
        }),
      ],
    })
    this.draw.start()
    this.draw.on('change', (ids) => {
      this.wall.drawing = this.nib !== null && this.draw.getSnapshot().some((one) => one.properties.mode === MODE[this.nib!])
      for (const feature of this.draw.getSnapshot()) {
        if (!ids.includes(feature.id!)) continue
        if (feature.id === this.reshaping) listener.reshaped?.(feature.geometry as Drawn)
        else if (feature.properties.mode === (this.nib && MODE[this.nib])) listener.moving?.(feature.geometry as Drawn)
      }
    })
    this.draw.on('finish', (id) => {
      if (this.reshaping !== null) return
      const feature = this.draw.getSnapshot().find((one) => one.id === id)
      if (!feature) return
      const radius = feature.properties.radiusKilometers
      // After the library is through with the event: a shape must not vanish under its hands.
      queueMicrotask(() => {
        this.draw.clear()
        listener.done?.(feature.geometry as Drawn, typeof radius === 'number' ? radius * 1000 : undefined)
      })
    })
  }

  /** Begins to draw; the map's own clicks rest meanwhile. Null puts the pen down. */
  take(nib: Nib | null): void {
    this.reshaping = null
    this.nib = nib
    this.draw.clear()
    this.wall.drawing = false
    this.draw.setMode(nib ? MODE[nib] : 'static')
    this.wall.held = nib !== null
  }

  /** Lets the corners of a shape be dragged. */
  reshape(shape: Drawn): void {
    this.take(null)
    const mode = { Point: 'point', LineString: 'linestring', Polygon: 'polygon' }[shape.type]
    const [added] = this.draw.addFeatures([{ type: 'Feature', geometry: shape, properties: { mode } } as GeoJSONStoreFeatures])
    if (!added?.valid || added.id === undefined) return
    this.draw.setMode('select')
    this.draw.selectFeature(added.id)
    this.reshaping = added.id
    this.wall.held = true
  }

  remove(): void {
    this.wall.held = false
    this.wall.drawing = false
    this.draw.stop()
  }
}
