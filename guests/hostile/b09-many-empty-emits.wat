;; Answers with a million empty emits: 52 bytes each for the guest, several times that for the host.
;;@frame event
;;@memory
(memory (export "memory") 900)
;;@handle
(return (call $emits (i32.const 1048576) (i32.const 1000000)))
