/** The keys of the list. Pure: says what a key press means, and when it means nothing because somebody is typing. */

export type Command =
  | { do: 'move'; by: number; extend: boolean }
  | { do: 'screen'; by: number }
  | { do: 'end'; last: boolean }
  | { do: 'queue'; n: number }
  | { do: 'open' | 'full' | 'back' | 'select' | 'act' | 'search' | 'map' | 'refresh' | 'help' | 'leave' }

/** Where a press happened. */
export interface Place {
  /** In a field that takes letters. */
  typing: boolean
  /** In a dialog or menu of its own. */
  apart: boolean
  /** In the list itself, or nowhere in particular. */
  list: boolean
}

export function placeOf(target: EventTarget | null): Place {
  const element = target instanceof Element ? target : null
  return {
    typing: element?.closest('input:not([type=checkbox]), textarea, select, [contenteditable=true]') != null,
    apart: element?.closest('[role=dialog], [role=menu], .el-popper, .el-overlay') != null,
    list: element === null || element === document.body || element.closest('[role=grid]') !== null,
  }
}

type Press = Pick<KeyboardEvent, 'key' | 'shiftKey' | 'ctrlKey' | 'metaKey' | 'altKey'>

const LETTERS: Readonly<Record<string, Command>> = {
  x: { do: 'select' },
  a: { do: 'act' },
  m: { do: 'map' },
  r: { do: 'refresh' },
  o: { do: 'full' },
  '/': { do: 'search' },
  '?': { do: 'help' },
}

export function commandOf(press: Press, place: Place): Command | null {
  const { key, shiftKey } = press
  if (place.apart || press.ctrlKey || press.metaKey || press.altKey) return null
  if (key === 'Escape') return { do: place.typing ? 'leave' : 'back' }
  if (place.typing) return null
  const letter = key.toLowerCase()
  if (letter === 'j' || letter === 'k') return { do: 'move', by: letter === 'j' ? 1 : -1, extend: shiftKey }
  if (/^[1-9]$/.test(key)) return { do: 'queue', n: Number(key) }
  if (key === '?' || (!shiftKey && LETTERS[letter])) return LETTERS[letter] ?? null
  // Arrows, Enter and the like belong to whatever else has the focus.
  if (!place.list) return null
  switch (key) {
    case 'ArrowDown': return { do: 'move', by: 1, extend: shiftKey }
    case 'ArrowUp': return { do: 'move', by: -1, extend: shiftKey }
    case 'PageDown': return { do: 'screen', by: 1 }
    case 'PageUp': return { do: 'screen', by: -1 }
    case 'Home': return { do: 'end', last: false }
    case 'End': return { do: 'end', last: true }
    case 'Enter': return { do: 'open' }
    default: return null
  }
}

/** For the page that explains them: keys as printed on them, and what they do. */
export const HELP = [
  [['j', '↓'], ['k', '↑'], 'keys.move'],
  [['PgDn'], ['PgUp'], 'keys.page'],
  [['Home'], ['End'], 'keys.ends'],
  [['Enter'], [], 'keys.open'],
  [['o'], [], 'keys.full'],
  [['Esc'], [], 'keys.back'],
  [['x'], [], 'keys.select'],
  [['Shift+↓'], ['Shift+J'], 'keys.range'],
  [['a'], [], 'keys.act'],
  [['/'], [], 'keys.search'],
  [['1'], ['9'], 'keys.queue'],
  [['m'], [], 'keys.map'],
  [['r'], [], 'keys.refresh'],
  [['?'], [], 'keys.help'],
] as const satisfies readonly (readonly [readonly string[], readonly string[], string])[]
