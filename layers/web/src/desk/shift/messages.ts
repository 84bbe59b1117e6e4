export const shift = {} as const satisfies Record<string, readonly [string, string]>
