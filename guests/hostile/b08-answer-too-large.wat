;; Rejects with a text of 60 MiB, all of it there.
;;@frame event
;;@memory
(memory (export "memory") 980)
;;@handle
(return (call $reject (i32.const 1048576) (i32.const 62914560)))
