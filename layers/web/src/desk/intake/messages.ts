export const intake = {} as const satisfies Record<string, readonly [string, string]>
