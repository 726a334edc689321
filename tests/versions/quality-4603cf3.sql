PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE qualities (
                model TEXT NOT NULL, image TEXT NOT NULL, fingerprint TEXT NOT NULL, quality TEXT,
                written INTEGER NOT NULL, PRIMARY KEY (model, image)
            );
INSERT INTO "qualities" VALUES('segmentation-0123456789ab','i0','f0','{"liver": 0.25, "spleen": 0.75}',1);
INSERT INTO "qualities" VALUES('segmentation-0123456789ab','i1','f1',NULL,2);
CREATE TABLE wanted (strategy TEXT PRIMARY KEY);
INSERT INTO "wanted" VALUES('review');
COMMIT;
