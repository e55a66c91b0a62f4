;; A module of the RusToK platform that fails with a text of 60 MiB.
;;@frame module
;;@memory
(memory (export "memory") 980)
;;@run
(return (call $answer (i32.const 1) (i32.const 1048576) (i32.const 62914560)))
