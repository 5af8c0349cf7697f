/* Work that several threads share, piece by piece:

     parallel_for(threads, pieces, [&](int piece, int thread) { … });

   calls the function for every piece from 0 to pieces - 1, with thread from 0 (the caller) to threads - 1, and returns
   when all are done. The function may also take the piece alone. A thread takes a piece when it is ready for one, so a thread whose core another program uses
   takes none, and the others wait for it no longer than for the piece that it has begun. OpenMP divides the work
   before it begins, and lets threads spin for each other.

   The function must give the same result for a piece whichever thread computes it. If it throws, the first exception
   comes to the caller when no thread works any more. While the threads work for another caller, or for the caller's
   caller, all pieces are computed here, as thread 0.

   The threads are started when they are first needed. Without work they spin for a moment, then they sleep. A forked
   process starts its own. */

#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>
#include <exception>
#include <mutex>
#include <type_traits>
#include <utility>

#include <pthread.h>
#include <signal.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <condition_variable>
#endif

namespace parallel {

/* A number that threads can wait for to change. */
class Bell {
 public:
  std::atomic<uint32_t> value{0};

#ifdef __linux__
  /* Sleep unless the value is another one already; may also return earlier. */
  void wait_while(uint32_t seen) { syscall(SYS_futex, &value, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0); }
  void wake_all() { syscall(SYS_futex, &value, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0); }
#else
  void wait_while(uint32_t seen) {
    std::unique_lock<std::mutex> held(mutex);
    changed.wait(held, [&] { return value.load() != seen; });
  }
  void wake_all() {
    { std::lock_guard<std::mutex> held(mutex); } /* whoever has compared and does not sleep yet */
    changed.notify_all();
  }

 private:
  std::mutex mutex;
  std::condition_variable changed;
#endif
};

static inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/* Whether the condition came true within that time. */
template <typename C>
static bool spin(std::chrono::microseconds at_most, C condition) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  do {
    for (int turn = 0; turn < 16; turn++) {
      if (condition()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return condition();
}

constexpr int MOST_THREADS = 255, MOST_PIECES = 4095;
constexpr std::chrono::microseconds FOR_WORK{50}; /* longer than anything between two loops of a step */
constexpr std::chrono::microseconds FOR_A_PIECE{50};

/* The current loop in one word, so that a piece of it cannot be mistaken for one of the next loop. */
struct Ticket {
  uint32_t loop;
  unsigned threads, pieces, next;

  static Ticket of(uint64_t word) {
    return {uint32_t(word >> 32), unsigned(word >> 24 & 255), unsigned(word >> 12 & 4095), unsigned(word & 4095)};
  }
  uint64_t word() const { return uint64_t(loop) << 32 | uint64_t(threads) << 24 | uint64_t(pieces) << 12 | next; }
};

class Team {
 public:
  typedef void (*Call)(void *body, int piece, int thread);

  /* False if the team works for somebody else. */
  bool run(int threads, int pieces, Call call, void *body) {
    if (!taken.try_lock()) return false;
    std::lock_guard<std::mutex> held(taken, std::adopt_lock);
    while (helpers < threads - 1 && start_helper()) continue;
    this->call = call, this->body = body;
    done.value.store(0);
    ticket.store(Ticket{++loop, unsigned(threads), unsigned(pieces), 0}.word());
    if (sleepers.load() > 0) {
      work.value.fetch_add(1);
      work.wake_all();
    }
    take_pieces(0);
    if (!spin(FOR_A_PIECE, [&] { return int(done.value.load()) == pieces; })) {
      caller_sleeps.store(true);
      for (uint32_t seen; (seen = done.value.load()) != uint32_t(pieces);) done.wait_while(seen);
      caller_sleeps.store(false);
    }
    if (!failure) return true;
    std::exception_ptr thrown = nullptr;
    std::swap(thrown, failure);
    std::rethrow_exception(thrown);
  }

 private:
  std::mutex taken;                /* by the thread that runs a loop */
  std::atomic<uint64_t> ticket{0}; /* its pieces; the fields below may be read by who has taken one */
  Call call = nullptr;
  void *body = nullptr;
  uint32_t loop = 0;
  Bell work, done;                 /* done: how many pieces */
  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::mutex failing;
  std::exception_ptr failure;
  int helpers = 0;

  struct Helper {
    Team *team;
    int thread;
  };

  bool start_helper() {
    Helper *helper = new Helper{this, helpers + 1};
    sigset_t all_signals, before; /* which are for the program's own threads */
    sigfillset(&all_signals);
    pthread_sigmask(SIG_SETMASK, &all_signals, &before);
    pthread_t id;
    const bool started = pthread_create(&id, nullptr, help, helper) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!started) {
      delete helper;
      return false; /* the others do the work */
    }
    pthread_detach(id);
    helpers++;
    return true;
  }

  static void *help(void *argument) {
    const Helper helper = *(Helper *)argument;
    delete (Helper *)argument;
    helper.team->help(helper.thread);
    return nullptr;
  }

  void help(int thread) {
    for (;;) {
      const uint32_t seen = Ticket::of(take_pieces(thread)).loop;
      auto is_new = [&] { return Ticket::of(ticket.load()).loop != seen; };
      if (spin(FOR_WORK, is_new)) continue;
      sleepers.fetch_add(1);
      const uint32_t rung = work.value.load();
      if (!is_new()) work.wait_while(rung);
      sleepers.fetch_sub(1);
    }
  }

  /* Take pieces until there are none; returns the ticket without a piece for this thread. */
  uint64_t take_pieces(int thread) {
    for (uint64_t word = ticket.load();;) {
      Ticket seen = Ticket::of(word);
      if (seen.next >= seen.pieces || thread >= int(seen.threads)) return word;
      Ticket after = seen;
      after.next++;
      if (!ticket.compare_exchange_weak(word, after.word())) continue;
      try {
        call(body, int(seen.next), thread);
      } catch (...) {
        std::lock_guard<std::mutex> held(failing);
        if (!failure) failure = std::current_exception();
      }
      done.value.fetch_add(1);
      if (caller_sleeps.load()) done.wake_all();
      word = ticket.load();
    }
  }
};

/* The team of this process. It is never deleted: its threads may still sleep when the process ends. */
inline std::atomic<Team *> &team() {
  static std::atomic<Team *> found{nullptr};
  return found;
}

inline Team &own_team() {
  Team *found = team().load();
  if (found) return *found;
  static const int forks = pthread_atfork(nullptr, nullptr, [] { team().store(nullptr); }); /* threads stay behind */
  (void)forks;
  Team *made = new Team;
  if (team().compare_exchange_strong(found, made)) return *made;
  delete made;
  return *found;
}

}  // namespace parallel

template <typename F>
void parallel_for(int threads, int pieces, const F &body) {
  const int each = (pieces + parallel::MOST_PIECES - 1) / parallel::MOST_PIECES;
  auto compute = [&body](int piece, int thread) {
    if constexpr (std::is_invocable_v<const F &, int, int>) body(piece, thread);
    else (void)thread, body(piece);
  };
  auto run = [&](int number, int thread) {
    for (int piece = number * each; piece < pieces && piece < (number + 1) * each; piece++) compute(piece, thread);
  };
  auto call = [](void *run_it, int number, int thread) { (*(decltype(run) *)run_it)(number, thread); };
  threads = threads < parallel::MOST_THREADS ? threads : parallel::MOST_THREADS;
  if (threads > 1 && pieces > 1)
    if (parallel::own_team().run(threads, (pieces + each - 1) / each, call, &run)) return;
  for (int piece = 0; piece < pieces; piece++) compute(piece, 0);
}
