/** Signs URLs of objects for clients that have no credentials of their own. */

import { S3Client } from "@aws-sdk/client-s3";

/** Never connects. The usual client would sign checksums, of which the one who uses the URL knows nothing. */
export function signingClient({ config }: S3Client): S3Client {
  return new S3Client({
    region: config.region,
    credentials: config.credentials,
    forcePathStyle: config.forcePathStyle,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
}
