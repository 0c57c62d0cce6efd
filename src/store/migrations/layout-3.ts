// From layout 2 to 3. What was added to the stored form is absent in older data, and is read as its default; so there is
// nothing to rewrite, but older programs would not understand what is written from now on.
import type { StoredData } from './stored-data.ts';

export async function toLayout3(_data: StoredData): Promise<void> {}
