export const list = {
  'nav.cases': ['案件', 'Cases'],
} as const satisfies Record<string, readonly [string, string]>
