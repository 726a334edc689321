PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE entropies (
    model TEXT NOT NULL, image TEXT NOT NULL, fingerprint TEXT NOT NULL, entropy REAL, written INTEGER NOT NULL,
    PRIMARY KEY (model, image)
);
INSERT INTO "entropies" VALUES('segmentation-0123456789ab','i0','f0',0.25,1);
INSERT INTO "entropies" VALUES('segmentation-0123456789ab','i1','f1',NULL,2);
CREATE TABLE wanted (strategy TEXT PRIMARY KEY);
INSERT INTO "wanted" VALUES('auto');
COMMIT;
