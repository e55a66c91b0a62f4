;; Answers with a list of 2^32-1 emits (l), a text of 2^32-1 bytes (t), or from beyond its memory (a).
;;@frame event
;;@local
(local $letter i32)
;;@handle
(local.set $letter (call $letter (local.get $event)))
(if (i32.eq (local.get $letter) (i32.const 0x6c)) (then (return (call $emits (i32.const 4096) (i32.const -1)))))
(if (i32.eq (local.get $letter) (i32.const 0x74)) (then (return (call $reject (i32.const 4096) (i32.const -1)))))
(return (i32.const 0x7ffffff8))
