-- The first form asked with an OR, which SQLite answers by reading all members that the batch has so far: the thousandth
-- member cost a thousand times the first. Two questions, each answered by one look into an index.

DROP TRIGGER member_is_not_replaced;

CREATE TRIGGER member_is_not_replaced
BEFORE INSERT ON member
WHEN EXISTS (SELECT 1 FROM member WHERE batch_id = new.batch_id AND ordinal = new.ordinal)
     OR EXISTS (SELECT 1 FROM member WHERE notification_id = new.notification_id AND batch_id = new.batch_id)
BEGIN
    SELECT RAISE(ABORT, 'the members of a batch never change');
END;
