;; Answers a batch with millions of failures, emits and skipped events.
;;@frame batch
;;@memory
(memory (export "memory") 900)
;;@handle
(i32.store (i32.const 2048) (i32.const 1048576))
(i32.store (i32.const 2052) (i32.const 900000))
(i32.store (i32.const 2056) (i32.const 1048576))
(i32.store (i32.const 2060) (i32.const 1200000))
(i32.store (i32.const 2064) (i32.const 1048576))
(i32.store (i32.const 2068) (i32.const 14000000))
