export const cases = {} as const satisfies Record<string, readonly [string, string]>
