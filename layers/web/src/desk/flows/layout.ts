/**
 * Where a workflow's states and arrows stand on paper: a column for each stage, arrows through the gaps between them,
 * every label in a place of its own. Pure; after Sugiyama: long arrows become chains of points, chains are sorted to
 * cross little, heights follow the neighbours. Units are pixels at zoom 1.
 */
import { isEnd, STAGES, STAY, type ActionBody, type FlowBody } from './model'

export interface Box {
  code: string
  x: number
  y: number
  width: number
  height: number
  column: number
  /** Actions that stay in the state, as lines inside the box. */
  own: number[]
}

export interface Label {
  index: number
  x: number
  y: number
  width: number
}

export interface Arrow {
  from: string
  to: string
  /** It leads back to an earlier stage. */
  back: boolean
  path: string
  labels: Label[]
}

export interface Column {
  key: string
  x: number
  width: number
}

export interface Drawing {
  boxes: Box[]
  /** Actions of many states: drawn once below all, or they would cover the rest. */
  common: Label[]
  arrows: Arrow[]
  columns: Column[]
  /** Where the report comes in: a line from here to the first state. */
  start: { x: number; y: number; path: string } | null
  width: number
  height: number
}

export const BOX = 172
export const LINE = 19
const HEAD = 46
const GAP = 16
const TOP = 44
const LABEL = 20
/** From so many states on an action is drawn once, below; the main ways are always arrows. */
const MANY = 4
const COMMON_LEFT = 150
/** Nearer than other things: arrows that only pass by. */
const LANE = 9

interface Node {
  rank: number
  height: number
  y: number
  /** Which box or arrow it is of; points in between have neither. */
  box?: string
  chain?: number
  before: Node[]
  after: Node[]
}

interface Chain {
  from: string
  to: string
  back: boolean
  indices: number[]
  nodes: Node[]
  label: Node
}

/** About as wide as the browser draws it at 12 px. */
export const textWidth = (text: string): number => [...text].reduce((sum, letter) => sum + (letter.charCodeAt(0) > 0x2e80 ? 12.5 : 6.8), 0)

/** The columns in use, left to right: stages, then what ends a case. */
function columnsOf(body: FlowBody): string[] {
  const used = new Set(Object.values(body.states).map((s) => (isEnd(s) ? 'end' : s.stage)))
  const known: string[] = STAGES.filter((stage) => used.has(stage))
  const odd = [...used].filter((key) => key !== 'end' && !known.includes(key)).sort()
  return [...known, ...odd, ...(used.has('end') ? ['end'] : [])]
}

export function layout(body: FlowBody, labelOf: (action: ActionBody) => string): Drawing {
  const columns = columnsOf(body)
  const columnOf = (code: string) => {
    const state = body.states[code]!
    return columns.indexOf(isEnd(state) ? 'end' : state.stage)
  }
  const codes = Object.keys(body.states)
  const own = new Map<string, number[]>(codes.map((code) => [code, []]))
  const pairs = new Map<string, { from: string; to: string; indices: number[] }>()
  const everywhere: number[] = []
  body.actions.forEach((action, index) => {
    if (new Set(action.from).size >= MANY && !action.primary) {
      everywhere.push(index)
      return
    }
    for (const from of new Set(action.from)) {
      if (!own.has(from)) continue
      const to = action.to === STAY ? from : action.to
      if (to === from) own.get(from)!.push(index)
      else if (own.has(to)) {
        const key = `${from}>${to}`
        const pair = pairs.get(key) ?? { from, to, indices: [] }
        pair.indices.push(index)
        pairs.set(key, pair)
      }
    }
  })

  const boxes = new Map<string, Node>()
  for (const code of inOrder(body, codes)) {
    const lines = own.get(code)!.length
    boxes.set(code, { rank: 2 * columnOf(code), height: HEAD + (lines ? lines * LINE + 6 : 0), y: 0, box: code, before: [], after: [] })
  }
  const chains: Chain[] = [...pairs.values()].map((pair, n) => chainOf(pair, n, boxes))
  const ranks: Node[][] = Array.from({ length: 2 * columns.length + 1 }, () => [])
  for (const node of boxes.values()) ranks[node.rank]!.push(node)
  for (const chain of chains) for (const node of chain.nodes) ranks[node.rank]!.push(node)
  sort(ranks)
  place(ranks)

  const widths = ranks.map((rank, n) => (n % 2 === 0 ? BOX : gapWidth(rank, chains, body, labelOf)))
  const xs: number[] = []
  widths.reduce((x, width, n) => ((xs[n] = x), x + width), 70)
  const top = Math.min(0, ...ranks.flat().map((n) => n.y - n.height / 2))
  const shift = TOP - top
  const ports = portsOf(chains, boxes)
  const box = (code: string) => boxes.get(code)!

  const found: Box[] = [...boxes].map(([code, node]) => ({
    code,
    x: xs[node.rank]!,
    y: node.y - node.height / 2 + shift,
    width: BOX,
    height: node.height,
    column: node.rank / 2,
    own: own.get(code)!,
  }))
  const arrows: Arrow[] = chains.map((chain, n) => {
    const [from, to] = [box(chain.from), box(chain.to)]
    const sameSide = from.rank === to.rank
    const rightwards = !chain.back
    const points: [number, number][] = [[xs[from.rank]! + (rightwards ? BOX : 0), ports.get(`${n}:out`)! + shift]]
    for (const node of chain.nodes) {
      const [left, right] = [xs[node.rank]! + 10, xs[node.rank]! + widths[node.rank]! - 10]
      const [a, b] = node === chain.label && sameSide ? [left, left] : rightwards ? [left, right] : [right, left]
      points.push([a, node.y + shift], [b, node.y + shift])
    }
    points.push([xs[to.rank]! + (rightwards && !sameSide ? 0 : BOX), ports.get(`${n}:in`)! + shift])
    const middle = xs[chain.label.rank]! + widths[chain.label.rank]! / 2
    const height = chain.indices.length * LABEL
    const labels = chain.indices.map((index, line) => {
      const width = textWidth(labelOf(body.actions[index]!)) + 14
      return { index, width, x: middle - width / 2, y: chain.label.y + shift - height / 2 + line * LABEL }
    })
    return { from: chain.from, to: chain.to, back: chain.back, path: curve(points), labels }
  })
  const first = boxes.get(body.start?.to ?? '')
  const bottom = Math.max(...ranks.flat().map((n) => n.y + n.height / 2), 0) + shift
  const width = xs[xs.length - 1]! + 24
  const common = rowsOf(everywhere, body, labelOf, width, bottom + 50)
  return {
    boxes: found,
    arrows,
    common,
    columns: columns.map((key, n) => ({ key, x: xs[2 * n]!, width: BOX })),
    start: first ? startOf(xs[first.rank]!, first.y + shift) : null,
    width,
    height: (common.length ? common[common.length - 1]!.y + LABEL : bottom) + 24,
  }
}

/** The common actions side by side, in as many rows as they need. */
function rowsOf(indices: number[], body: FlowBody, labelOf: (action: ActionBody) => string, room: number, top: number): Label[] {
  let [x, y] = [COMMON_LEFT, top]
  return indices.map((index) => {
    const width = textWidth(labelOf(body.actions[index]!)) + 14
    if (x + width > room - 24 && x > COMMON_LEFT) [x, y] = [COMMON_LEFT, y + LABEL + 6]
    const label = { index, x, y, width }
    x += width + 10
    return label
  })
}

function startOf(x: number, y: number): { x: number; y: number; path: string } {
  return { x: x - 46, y, path: `M${x - 36} ${y}L${x} ${y}` }
}

/** States in the order the flow meets them: what is drawn first keeps near the top. */
function inOrder(body: FlowBody, codes: string[]): string[] {
  const seen: string[] = []
  const visit = (code: string) => {
    if (seen.includes(code) || !body.states[code]) return
    seen.push(code)
    const leaving = body.actions.filter((a) => a.from.includes(code) && a.to !== STAY)
    for (const action of [...leaving].sort((a, b) => Number(b.primary ?? false) - Number(a.primary ?? false))) visit(action.to)
  }
  visit(body.start?.to ?? '')
  codes.forEach(visit)
  return seen
}

function chainOf(pair: { from: string; to: string; indices: number[] }, chain: number, boxes: Map<string, Node>): Chain {
  const [from, to] = [boxes.get(pair.from)!, boxes.get(pair.to)!]
  const back = to.rank < from.rank
  const step = back ? -1 : 1
  const nodes: Node[] = []
  const add = (rank: number, height: number) => {
    nodes.push({ rank, height, y: 0, chain, before: [], after: [] })
    return nodes[nodes.length - 1]!
  }
  const label = add(from.rank + step, pair.indices.length * LABEL + 4)
  for (let rank = from.rank + 2 * step; step * (to.rank - rank) > 0; rank += step) add(rank, LANE)
  const whole = [from, ...nodes, to]
  for (let n = 1; n < whole.length; n += 1) {
    const [a, b] = [whole[n - 1]!, whole[n]!]
    const [left, right] = a.rank <= b.rank ? [a, b] : [b, a]
    left.after.push(right)
    right.before.push(left)
  }
  return { ...pair, back, nodes, label }
}

const average = (nodes: Node[], of: (node: Node) => number): number => nodes.reduce((sum, node) => sum + of(node), 0) / nodes.length

/** Sorts every rank by where its neighbours are, to and fro, and keeps the order with the fewest crossings. */
function sort(ranks: Node[][]): void {
  const position = new Map<Node, number>()
  const number = () => ranks.forEach((rank) => rank.forEach((node, n) => position.set(node, n)))
  number()
  let best = ranks.map((rank) => [...rank])
  let fewest = Infinity
  for (let sweep = 0; sweep < 16; sweep += 1) {
    const forward = sweep % 2 === 0
    for (const rank of forward ? ranks : [...ranks].reverse()) {
      const wanted = new Map(
        rank.map((node) => {
          const near = forward ? node.before : node.after
          return [node, near.length ? average(near, (n) => position.get(n)!) : position.get(node)!]
        }),
      )
      rank.sort((a, b) => wanted.get(a)! - wanted.get(b)! || position.get(a)! - position.get(b)!)
      rank.forEach((node, n) => position.set(node, n))
    }
    const crossed = crossings(ranks, position)
    if (crossed < fewest) {
      fewest = crossed
      best = ranks.map((rank) => [...rank])
    }
  }
  best.forEach((rank, n) => ranks[n]!.splice(0, rank.length, ...rank))
}

function crossings(ranks: Node[][], position: Map<Node, number>): number {
  let sum = 0
  for (const rank of ranks) {
    const ends = rank.flatMap((node, n) => node.after.map((to) => [n, position.get(to)!] as const))
    for (let a = 0; a < ends.length; a += 1)
      for (let b = a + 1; b < ends.length; b += 1) if ((ends[a]![0] - ends[b]![0]) * (ends[a]![1] - ends[b]![1]) < 0) sum += 1
  }
  return sum
}

/** Heights: each as near to its neighbours as the others of its rank allow. */
function place(ranks: Node[][]): void {
  for (const rank of ranks) settle(rank, () => 0)
  for (let sweep = 0; sweep < 24; sweep += 1) {
    const mode = sweep < 20 ? sweep % 2 : 2
    const order = mode === 1 ? [...ranks].reverse() : ranks
    for (const rank of order)
      settle(rank, (node) => {
        const near = mode === 0 ? node.before : mode === 1 ? node.after : [...node.before, ...node.after]
        return near.length ? average(near, (n) => n.y) : node.y
      })
  }
}

/** Isotonic regression: the nearest places to the wanted ones that keep the order and the distances. */
function settle(rank: Node[], wantedOf: (node: Node) => number): void {
  const blocks: { sum: number; weight: number; nodes: Node[]; offsets: number[] }[] = []
  let reach = 0
  rank.forEach((node, n) => {
    const before = rank[n - 1]
    reach += before ? (before.height + node.height) / 2 + (isLane(before) && isLane(node) ? 0 : GAP) : 0
    let block = { sum: wantedOf(node) - reach, weight: 1, nodes: [node], offsets: [reach] }
    for (let last = blocks[blocks.length - 1]; last && last.sum / last.weight > block.sum / block.weight; last = blocks[blocks.length - 1]) {
      blocks.pop()
      block = {
        sum: last.sum + block.sum,
        weight: last.weight + block.weight,
        nodes: [...last.nodes, ...block.nodes],
        offsets: [...last.offsets, ...block.offsets],
      }
    }
    blocks.push(block)
  })
  for (const block of blocks) block.nodes.forEach((node, n) => (node.y = block.sum / block.weight + block.offsets[n]!))
}

const isLane = (node: Node): boolean => node.height === LANE

function gapWidth(rank: Node[], chains: Chain[], body: FlowBody, labelOf: (action: ActionBody) => string): number {
  const widths = rank.map((node) => {
    const chain = node.chain === undefined ? undefined : chains[node.chain]
    if (!chain || chain.label !== node) return 0
    return Math.max(...chain.indices.map((index) => textWidth(labelOf(body.actions[index]!)) + 14))
  })
  return rank.length ? Math.max(40, ...widths) + 30 : 34
}

/** Where arrows leave and enter a box: spread along its side in the order of where they go. */
function portsOf(chains: Chain[], boxes: Map<string, Node>): Map<string, number> {
  const sides = new Map<string, { key: string; y: number }[]>()
  const put = (side: string, key: string, y: number) => sides.set(side, [...(sides.get(side) ?? []), { key, y }])
  chains.forEach((chain, n) => {
    const same = boxes.get(chain.from)!.rank === boxes.get(chain.to)!.rank
    const [first, last] = [chain.nodes[0]!, chain.nodes[chain.nodes.length - 1]!]
    put(`${chain.from}:${chain.back ? 'left' : 'right'}`, `${n}:out`, first.y)
    put(`${chain.to}:${chain.back || same ? 'right' : 'left'}`, `${n}:in`, last.y)
  })
  const found = new Map<string, number>()
  for (const [side, ends] of sides) {
    const node = boxes.get(side.slice(0, side.lastIndexOf(':')))!
    ends.sort((a, b) => a.y - b.y)
    const room = node.height - 16
    ends.forEach((end, n) => found.set(end.key, node.y - room / 2 + (room * (n + 1)) / (ends.length + 1)))
  }
  return found
}

/** Level at every point, bent between them. */
function curve(points: [number, number][]): string {
  const text = (n: number) => n.toFixed(1)
  return points.reduce((path, [x, y], n) => {
    if (n === 0) return `M${text(x)} ${text(y)}`
    const [px, py] = points[n - 1]!
    if (Math.abs(py - y) < 0.5) return `${path}L${text(x)} ${text(y)}`
    const turn = px === x ? 28 : (x - px) / 2
    const [ax, bx] = [px + turn, px === x ? x + turn : x - turn]
    return `${path}C${text(ax)} ${text(py)} ${text(bx)} ${text(y)} ${text(x)} ${text(y)}`
  }, '')
}
