// A list whose links are in its members: joining and leaving are a few pointer writes and allocate nothing.
#pragma once

#include <cstddef>

namespace sluice::l7 {

/// Base of what can be in one list at a time; `Tag` tells several lists of the same type apart.
template <typename Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <typename, typename>
  friend class IntrusiveList;
  ListLink* next_ = nullptr;
  ListLink* previous_ = nullptr;
};

/// `Member` derives from ListLink<Tag>. Owns nothing; members that are destroyed leave by themselves.
template <typename Member, typename Tag>
class IntrusiveList {
 public:
  IntrusiveList() { head_.next_ = head_.previous_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) head_.next_->unlink();
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  Member& front() { return static_cast<Member&>(*head_.next_); }
  /// `member` is in no list of this tag.
  void push_back(Member& member) {
    ListLink<Tag>& link = member;
    link.previous_ = head_.previous_;
    link.next_ = &head_;
    head_.previous_->next_ = &link;
    head_.previous_ = &link;
  }
  /// Calls `visit(Member&)` for each; it must not change the list.
  template <typename Visit>
  void for_each(Visit visit) {
    for (ListLink<Tag>* link = head_.next_; link != &head_; link = link->next_)
      visit(static_cast<Member&>(*link));
  }
  /// Takes all members of `other`, behind those here.
  void take_all(IntrusiveList& other) {
    while (!other.empty()) {
      Member& member = other.front();
      static_cast<ListLink<Tag>&>(member).unlink();
      push_back(member);
    }
  }

 private:
  ListLink<Tag> head_;
};

}  // namespace sluice::l7
