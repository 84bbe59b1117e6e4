/** How what a person entered becomes what is sent. Pure. */
import type { Item, Photo, ReportForm, Session } from './types'

export const emptyForm = (): ReportForm => ({ component: null, category: null, place: null, fix: null, description: '' })

export type Missing = 'place' | 'category'

/** What a report still lacks. */
export function missing(form: ReportForm): Missing[] {
  const lacks: Missing[] = []
  if (!form.component && !form.place) lacks.push('place')
  if (!form.component && !form.category) lacks.push('category')
  return lacks
}

export interface Facts {
  id: string
  catalogue: string
  device: string
  clock_offset_ms: number
  /** The moment of the first look at the thing, by the server's clock. */
  occurred_at: number
  version: string
  /** Photos the phone had no room for. */
  photos_left: number
}

/** The body of a report; a component says where and what. Raises when the form is not complete. */
export function reportBody(form: ReportForm, photos: readonly Photo[], facts: Facts): Record<string, unknown> {
  const { component, category, place } = form
  const at = component ? { lon: component.lon, lat: component.lat, crs: 'EPSG:4490' } : place
  if (!at || (!component && !category)) throw new Error('the report is not complete')
  return {
    id: facts.id,
    channel: 'patrol',
    catalogue: component ? component.catalogue : facts.catalogue,
    category_kind: component ? 'component' : category!.kind,
    category_code: component ? component.category_code : category!.code,
    component_code: component?.code ?? '',
    lon: at.lon,
    lat: at.lat,
    crs: at.crs,
    description: form.description.trim(),
    occurred_at: new Date(facts.occurred_at).toISOString(),
    photos: photos.map((photo) => photo.sha256),
    extra: {
      device: facts.device,
      app: facts.version,
      clock_offset_ms: facts.clock_offset_ms,
      fix: form.fix,
      photos_left: facts.photos_left,
      placed_by: component ? 'component' : place!.by,
      photos: photos.map(({ sha256, original_sha256, taken_at, width, height }) => ({
        sha256,
        original_sha256,
        taken_at,
        width,
        height,
      })),
    },
  }
}

/** A thing of this person's that is not yet saved. */
export function blank(
  kind: Item['kind'],
  id: string,
  held: Session,
  device: string,
  now: number,
  version: string,
): Item {
  return {
    id,
    kind,
    owner: held.me.id,
    owner_name: held.me.name,
    device,
    seq: null,
    case_id: id,
    title: '',
    body: {},
    form: null,
    photos: [],
    state: 'draft',
    tries: 0,
    next_at: 0,
    problem: null,
    created_at: now,
    saved_at: null,
    version,
  }
}
