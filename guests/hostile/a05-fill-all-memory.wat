;; Fills and copies all the memory it may have, again and again: single instructions that take long.
;;@frame event
;;@memory
(memory (export "memory") 960)
;;@handle
(loop $for_ever
  (memory.fill (i32.const 4096) (i32.const 0xff) (i32.const 62900000))
  (memory.copy (i32.const 4096) (i32.const 31450000) (i32.const 31400000))
  (br $for_ever))
