PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE thumbnails (
    domain TEXT NOT NULL, image TEXT NOT NULL, fingerprint TEXT NOT NULL, picture BLOB NOT NULL,
    PRIMARY KEY (domain, image)
);
INSERT INTO "thumbnails" VALUES('target','i0','f0',X'52494646');
COMMIT;
