// The content type of a body whose sender gave none.
import { isUtf8 } from 'node:buffer';
import { textContentType } from './op-codec.ts';

const octets = 'application/octet-stream';
/** The default of `curl -d`, so it says nothing about the bytes. */
const formType = 'application/x-www-form-urlencoded';

/** The content type to keep with `data`: the one given, else text if the bytes are UTF-8. */
export function contentTypeOf(header: string | undefined, data: Buffer): string {
  if (header !== undefined && !header.toLowerCase().startsWith(formType)) return header;
  return isUtf8(data) ? textContentType : octets;
}
