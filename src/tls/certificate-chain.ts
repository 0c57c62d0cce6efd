// Whether a certificate chain that was verified before would be verified again by other authorities.
import type { X509Certificate } from 'node:crypto';

/** Chains are rarely longer than three. */
const chainMax = 10;

/**
 * Whether one of the authorities has signed a certificate, or one of those above it that its client has sent with it. That each of
 * these has signed the one below it was verified in the handshake.
 */
export function isIssuedByOne(authorities: readonly X509Certificate[], certificate: X509Certificate): boolean {
  let link: X509Certificate | undefined = certificate;
  for (let i = 0; link && i < chainMax; i += 1) {
    const below: X509Certificate = link;
    if (authorities.some((authority) => below.checkIssued(authority) && below.verify(authority.publicKey))) return true;
    link = below.issuerCertificate;
  }
  return false;
}
