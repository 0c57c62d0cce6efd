// Sizes in bytes as the configuration and the policy write them.

export const sizePattern = /^(\d{1,16}) ?(b|k|kb|kib|m|mb|mib|g|gb|gib)?$/i;
const sizeUnits: Record<string, number> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** @param text `512KiB`, `16MiB`, `1GiB`, or a number of bytes. @returns bytes; NaN if it is no size */
export function parseSize(text: string): number {
  const [, digits, unit = ''] = sizePattern.exec(text) ?? [];
  return Number(digits) * (sizeUnits[unit.slice(0, 1).toLowerCase()] ?? Number.NaN);
}
