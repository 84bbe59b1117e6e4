export const flows = {} as const satisfies Record<string, readonly [string, string]>
