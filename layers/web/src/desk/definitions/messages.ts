export const definitions = {} as const satisfies Record<string, readonly [string, string]>
